import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))  # export_networks: the networks that both parts try
