"""The pytest plugin of discordha (filled in by the test kit)."""
