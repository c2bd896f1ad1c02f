"""Weights the words of prompts, and reads prompts of any length, in two grammars."""
