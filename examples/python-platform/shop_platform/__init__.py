"""A small platform that connects the sellers of its customers to TikTok Shop, on FastAPI, Django and Flask."""
