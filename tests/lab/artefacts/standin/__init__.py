"""The stand-in for the `ollama` executable; packed into one file for the lab's hosts."""
