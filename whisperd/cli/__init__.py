"""The commands: what a person types. Each module adds one to the parser."""
