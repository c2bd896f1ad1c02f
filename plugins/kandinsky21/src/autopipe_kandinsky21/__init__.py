"""The Kandinsky 2.1 family."""
