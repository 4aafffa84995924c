"""The commands: parse, call, print. Nothing imports this package."""
