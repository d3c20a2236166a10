"""The LiteLLM gateway: what it is told (settings, catalogue, config), how it is installed, asked and watched."""
