"""The audit: what is wrong with a LiteLLM deployment, ours or anyone's, found in its files and on its hosts."""
