"""Logging: a logger for programs that have none, and the base of classes that log if they may."""

from __future__ import annotations

import logging

from shmlock.shmlock_exceptions import ShmLockValueError

__all__ = ["ShmModuleBaseLogger", "create_logger"]


def create_logger(
    name: str = "ShmLockLogger",
    level: int = logging.INFO,
    file_path: str | None = None,
    level_file: int = logging.DEBUG,
    use_colored_logs: bool = True,
    fmt: str = "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
) -> logging.Logger:
    """Returns the logger of this name, which writes to stderr and, if a path is given, to a file.

    Its earlier handlers are removed, and its records go to no other logger. The package
    `coloredlogs` colours them, if it is installed and `use_colored_logs` is set. A lock logs if it
    is given the logger: `ShmLock(name, logger=create_logger())`.
    """
    logger = logging.getLogger(name)
    logger.propagate = False
    for old in list(logger.handlers):
        logger.removeHandler(old)
    outputs: list[tuple[logging.Handler, int]] = [(logging.StreamHandler(), level)]
    if file_path is not None:
        outputs.append((logging.FileHandler(file_path), level_file))
    for handler, least in outputs:
        handler.setLevel(least)
        handler.setFormatter(logging.Formatter(fmt))
        logger.addHandler(handler)
    logger.setLevel(min(least for _, least in outputs))
    if use_colored_logs:
        try:
            import coloredlogs  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ModuleNotFoundError:
            pass
        else:
            coloredlogs.install(logger=logger, level=level, fmt=fmt)
    return logger


class ShmModuleBaseLogger:
    """Logs to the logger that it was given, if it was given one."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        if logger is not None and not isinstance(logger, logging.Logger):
            raise ShmLockValueError(f"logger must be a logging.Logger, not {type(logger)}")
        self._logger: logging.Logger | None = logger

    def debug(self, message: str, *args: object) -> None:
        """Logs at the level DEBUG."""
        if self._logger is not None:
            self._logger.debug(message, *args)

    def info(self, message: str, *args: object) -> None:
        """Logs at the level INFO."""
        if self._logger is not None:
            self._logger.info(message, *args)

    def warning(self, message: str, *args: object) -> None:
        """Logs at the level WARNING."""
        if self._logger is not None:
            self._logger.warning(message, *args)

    def error(self, message: str, *args: object) -> None:
        """Logs at the level ERROR."""
        if self._logger is not None:
            self._logger.error(message, *args)

    def exception(self, message: str, *args: object) -> None:
        """Logs at the level ERROR, with the exception that is being handled."""
        if self._logger is not None:
            self._logger.exception(message, *args)

    def critical(self, message: str, *args: object) -> None:
        """Logs at the level CRITICAL."""
        if self._logger is not None:
            self._logger.critical(message, *args)
