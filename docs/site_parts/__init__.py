"""The parts of the site that are made: steps with tabs, notebooks, pictures, the commands' help."""
