"""What pages and robots read: profiles, findings and alerts as plain data.

No I/O of its own but the store's reads.
"""
