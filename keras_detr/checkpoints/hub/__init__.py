"""The Hugging Face Hub: download and upload files, read and write its configurations."""
