"""What learns: plain networks, and the LightningModule that trains them."""
