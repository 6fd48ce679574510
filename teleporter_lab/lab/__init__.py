"""What runs inside Jupyter: the server extension and the parts of a notebook. Nothing else imports it."""
