"""The files that Streamlit starts from: the script, and the settings that it reads from the script's folder."""
