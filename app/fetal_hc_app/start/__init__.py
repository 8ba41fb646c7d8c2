"""What Streamlit starts: the script and, beside it, the settings that Streamlit reads from a script's own folder."""
