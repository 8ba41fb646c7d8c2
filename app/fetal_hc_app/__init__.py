"""The reviewer app: Streamlit pages over the libraries of this project; contains no maths."""
