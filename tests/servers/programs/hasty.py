"""A device that tells more often what happens."""

from thing.reports import Reports

Reports.alert_s = 5

import everything  # noqa: E402, F401
