"""The Hugging Face Hub: download files, and translate what their configurations say."""
