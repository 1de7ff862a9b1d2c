"""Debian's Prometheus as a Service, which scrapes one of our servers."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import pytest
from programs import free_port
from running import Service

CONFIG = Template("""
global:
  scrape_interval: 300ms
  scrape_timeout: 300ms
  evaluation_interval: 300ms
rule_files: [$rules]
scrape_configs:
- job_name: engineio
  authorization: {credentials_file: $token}
  static_configs: [{targets: ['127.0.0.1:$port']}]
- job_name: stranger
  static_configs: [{targets: ['127.0.0.1:$port']}]
""")
PATIENCE = 60.0
"""Seconds until what was counted must have been scraped: a machine may be busy."""
ASKING = 0.2
"""Seconds between two questions."""

Series = dict[str, float]


def find(command: str) -> str:
    """Find one of the commands of Debian's package."""
    found = shutil.which(command)
    if found is None:
        pytest.fail(
            f"{command} is missing: run `make test`, or apt install prometheus",
            pytrace=False,
        )
    return found


def promtool(*arguments: str, given: str = "") -> str:
    """Let promtool check something, and give its complaints."""
    done = subprocess.run(
        [find("promtool"), *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 and not done.stderr else done.stdout + done.stderr


class Prometheus(Service):
    """It scrapes a server with the token, and tries without."""

    name = "prometheus"

    def __init__(self, scraped: int, token: Path, rules: Path, log: Path) -> None:
        port = free_port()
        folder = log.with_suffix("")
        folder.mkdir()
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.substitute(port=scraped, token=token, rules=rules))
        command = [
            find("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        super().__init__(command, port, log)

    def ask(self, about: str, **query: str) -> Any:
        """Ask its HTTP API."""
        url = f"{self.url}/api/v1/{about}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> Series:
        """Ask it; each series is named by its metric and its labels."""
        found = self.ask("query", query=expression)["result"]
        return {_name(each["metric"]): float(each["value"][1]) for each in found}

    def evaluated(self) -> dict[str, str]:
        """Wait until it has evaluated every rule, and give what came of each."""
        for _ in range(int(PATIENCE / ASKING)):
            (group,) = self.ask("rules")["groups"]
            health = {each["name"]: each["health"] for each in group["rules"]}
            if "unknown" not in health.values():
                return health
            self.wait(ASKING)
        return pytest.fail(f"some rules were not evaluated: {health}")

    def until(self, expression: str, expected: Series) -> None:
        """Ask until it has scraped what is expected."""
        for _ in range(int(PATIENCE / ASKING)):
            found = self.query(expression)
            different = {
                name: (found.get(name), value)
                for name, value in expected.items()
                if found.get(name) != value
            }
            if not different:
                return
            self.wait(ASKING)
        pytest.fail(f"{expression} is not what the clients did: {different}")

    def wait(self, seconds: float) -> None:
        """Wait, unless it ends."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        self.fail("has ended")


def _name(metric: Mapping[str, Any]) -> str:
    labels = {
        name: metric[name]
        for name in sorted(metric)
        if name not in ("__name__", "instance", "job")
    }
    told = ",".join(f"{name}={value}" for name, value in labels.items())
    return f"{metric.get('__name__', '')}{{{told}}}"
