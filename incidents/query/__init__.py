"""The query line of triage: `status:new severity:>=high release:2.4 customer:acme is:silent`."""
