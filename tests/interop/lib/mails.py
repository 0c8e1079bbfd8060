"""What the checks require of any mail."""


def defects(message):
    """Every defect of a message, its headers and its parts, as Python's parser sees them."""
    found = []
    for part in message.walk():
        found += part.defects
        for name, value in part.items():
            found += [f"{name}: {defect!r}" for defect in value.defects]
    return found
