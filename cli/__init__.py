"""The `scoresmith` command: one small file for each subcommand."""
