"""The Kandinsky 2.2 family."""
