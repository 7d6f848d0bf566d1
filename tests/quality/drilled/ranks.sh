#!/bin/sh
# Starts the trainer on two ranks; ends when both have ended.
here=$(dirname "$0")
export JOB=$$ WORLD_SIZE=2
RANK=0 "$PYTHON" "$here/trainer.py" "$@" &
first=$!
RANK=1 "$PYTHON" "$here/trainer.py" "$@" &
second=$!
wait $first
status=$?
wait $second || status=$?
exit $status
