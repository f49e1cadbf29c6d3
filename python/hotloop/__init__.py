"""hotloop makes LLM agents fast and cheap."""
