"""What Streamlit starts: the script, and the settings that Streamlit reads from a script's own folder."""
