return {redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[2])}
