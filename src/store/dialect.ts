// Kysely on a connection of ours: the driver is ours, adapters and compilers are Kysely's. One connection a thread; its owner begins
// and ends transactions itself (several operations may share one), so Kysely's own transactions are only for completeness.
import { CamelCasePlugin, type CompiledQuery, type DatabaseConnection, type DataTypeNode, type Driver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, type QueryResult, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { beginWriting, type Connection } from './connection.ts';
import type { Schema } from './schema.ts';

/** Queries in camelCase over columns in snake_case. */
export function kyselyOn(connection: Connection): Kysely<Schema> {
  return new Kysely<Schema>({ dialect: dialectOn(connection), plugins: [new CamelCasePlugin()] });
}

/** Without names translated: for migrations, which say what is in the file. */
export function plainKyselyOn(connection: Connection): Kysely<unknown> {
  return new Kysely<unknown>({ dialect: dialectOn(connection) });
}

function dialectOn(connection: Connection) {
  if (connection.kind === 'postgres') {
    return {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => driverOn(connection),
      createIntrospector: (db: Kysely<unknown>) => new PostgresIntrospector(db),
      createQueryCompiler: () => new SameTypesCompiler(),
    };
  }
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => driverOn(connection),
    createIntrospector: (db: Kysely<unknown>) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/**
 * Columns mean on PostgreSQL what they mean in SQLite, whose words the migrations use: an integer has 64 bits, a blob is bytes, and text is
 * compared by its bytes, whatever language the database was made for.
 */
class SameTypesCompiler extends PostgresQueryCompiler {
  protected override visitDataType(node: DataTypeNode): void {
    const isColumn = this.parentNode?.kind === 'ColumnDefinitionNode';
    if (isColumn && node.dataType === 'integer') this.append('bigint');
    else if (isColumn && node.dataType === 'blob') this.append('bytea');
    else if (isColumn && node.dataType === 'real') this.append('double precision');
    else if (isColumn && node.dataType === 'text') this.append('text collate "C"');
    else super.visitDataType(node);
  }
}

/** The database is closed by who opened it, so `destroy` leaves it alone. */
function driverOn(connection: Connection): Driver {
  const single = kyselyConnection(connection);
  return {
    init: async () => {},
    acquireConnection: async () => single,
    beginTransaction: () => connection.exec(beginWriting[connection.kind]),
    commitTransaction: () => connection.exec('commit'),
    rollbackTransaction: () => connection.exec('rollback'),
    releaseConnection: async () => {},
    destroy: async () => {},
  };
}

function kyselyConnection(connection: Connection): DatabaseConnection {
  const run = async <Row>(query: CompiledQuery): Promise<QueryResult<Row>> => {
    const { rows, touched } = await connection.query<Row>(query.sql, query.parameters);
    return { rows, numAffectedRows: BigInt(touched) };
  };
  return {
    executeQuery: run,
    // Whole: there is one connection, and other statements must not come between rows.
    async *streamQuery<Row>(query: CompiledQuery): AsyncIterableIterator<QueryResult<Row>> {
      yield await run<Row>(query);
    },
  };
}
