"""From accepted requests to numbers: claim, group, store, all in one transaction."""
