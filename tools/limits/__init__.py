"""How many requests may be sent, and who keeps count: this process, or Redis for all of them."""
