"""Where alerts are sent, one file for each kind of receiver.

A channel renders a request; it sends nothing.
"""
