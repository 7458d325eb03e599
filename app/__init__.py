"""The dashboard: a Streamlit process of its own that only reads the server's HTTP API."""
