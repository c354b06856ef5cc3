"""One request limit for all bots of an API key, over Redis or Valkey: needs the extra ``redis``."""

from threecommas_async.limits_redis.limiter import SharedLimiter

__all__ = ["SharedLimiter"]
