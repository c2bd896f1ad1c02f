"""Commands on requests and on the texts of pictures."""
