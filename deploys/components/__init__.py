"""Every component, in the order in which a host gets them.

Hardening is the last: packages of the others bring files and folders that its controls are about.
"""

from deploys.components.backups import BACKUPS
from deploys.components.base import BASE
from deploys.components.edge import EDGE
from deploys.components.engine import ENGINE
from deploys.components.firewall import FIREWALL
from deploys.components.hardening.component import HARDENING
from deploys.components.health import HEALTH
from deploys.components.litellm.component import LITELLM
from deploys.components.ollama import OLLAMA
from deploys.components.postgres import POSTGRES
from deploys.components.redis import REDIS

COMPONENTS = (BASE, ENGINE, FIREWALL, POSTGRES, BACKUPS, REDIS, OLLAMA, LITELLM, HEALTH, EDGE, HARDENING)
