"""Images from scanners and archives (PACS), reports back to them, confirmed, with a queue that survives restarts."""

SITE_VARIABLE = "FETAL_HC_PACS"  # names the settings file; here, where it costs no library to ask for it
