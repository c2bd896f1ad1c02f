"""What is installed, and who has which name: from entry points to the registry. No torch here."""
