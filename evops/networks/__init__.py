"""Published networks on evops operators: models, data, reports."""
