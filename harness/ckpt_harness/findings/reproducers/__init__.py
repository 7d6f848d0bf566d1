"""One stand-alone script for each entry of the register: plain torch, no harness."""
