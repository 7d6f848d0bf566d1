"""Reports: how the outcome of a campaign is shown."""
