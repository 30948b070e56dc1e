// The contract of dropping what is old, on PostgreSQL.
import { after, before, suite } from 'node:test';
import { keepingContract } from '../contracts/keeping.ts';
import { type PostgresServer, withoutPostgres } from '../kit/postgres.ts';
import { keepPostgresStores } from '../kit/postgres-store.ts';

const stores = await keepPostgresStores();
after(() => stores[Symbol.asyncDispose]());

suite('on a real server', { skip: withoutPostgres }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await stores.startServer({ fsync: false });
  });
  keepingContract('PostgreSQL', async () => stores.open(await server.makeDatabase()));
});
