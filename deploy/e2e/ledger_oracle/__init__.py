"""The laws of the ledger, told a second time: this package reads recorded history and knows nothing else of Steward."""
