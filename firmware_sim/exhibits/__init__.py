"""The devices that the contract suite tests our own drivers with: see drivers/README.md."""
