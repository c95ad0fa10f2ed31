"""Problems of the installation, and the messages about them to the people who want them."""
