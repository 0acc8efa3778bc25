"""One small file for each subcommand: its options, and who does the work."""
