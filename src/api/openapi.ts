// The contract as an OpenAPI 3.1 document: made from the same shapes that check requests and answers.
import { z } from 'zod';
import { contract, type Shapes } from './contract.ts';
import { apiRoot, paths, type RouteName } from './paths.ts';
import { problemType } from './problem.ts';
import { problem } from './shapes.ts';

type Json = Record<string, unknown>;

/** OpenAPI 3.1 takes JSON Schema 2020-12 as it is; `$schema` belongs to the document, not to each part. */
function schemaOf(shape: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...schema } = z.toJSONSchema(shape, { io, unrepresentable: 'any' }) as Json;
  return schema;
}

function parametersOf(name: RouteName): Json[] {
  const inPath = [...paths[name].path.matchAll(/\{(\w+)\}/g)].map((match) => ({ name: match[1], in: 'path', required: true, schema: { type: 'string' } }));
  const { query }: Shapes = contract[name];
  if (!query) return inPath;
  const { properties = {}, required = [] } = schemaOf(query, 'input') as { properties?: Record<string, Json>; required?: string[] };
  return [...inPath, ...Object.entries(properties).map(([key, schema]) => ({ name: key, in: 'query', required: required.includes(key), schema }))];
}

function operationOf(name: RouteName): Json {
  const { summary, body, answer }: Shapes = contract[name];
  const { needs, method } = paths[name];
  const media = name === 'getEvents' ? 'text/event-stream' : name === 'makeBackup' ? 'application/gzip' : name === 'downloadFile' || name === 'readFeedBytes' ? 'application/octet-stream' : 'application/json';
  const ifMatch = name === 'putConfig' ? [{ name: 'If-Match', in: 'header', required: true, schema: { type: 'string' } }] : [];
  const parameters = [...parametersOf(name), ...ifMatch];
  return {
    operationId: name,
    summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body && method !== 'GET' ? { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body, 'input') } } } } : {}),
    responses: {
      200: { description: 'done', content: { [media]: { schema: schemaOf(answer, 'output') } } },
      default: { description: 'refused; what, where and what to do', content: { [problemType]: { schema: { $ref: '#/components/schemas/Problem' } } } },
    },
    security: needs === 'none' ? [] : needs === 'person' ? [{ cookie: [] }] : [{ token: [] }, { cookie: [] }],
  };
}

export function buildOpenApi(version: string, cookieName: string): Json {
  const byPath: Record<string, Json> = {};
  for (const name of Object.keys(paths) as RouteName[]) {
    const { path, method } = paths[name];
    (byPath[path] ??= {})[method.toLowerCase()] = operationOf(name);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Postern', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }, description: 'Times are milliseconds since 1970. Lists are read in pages: give `next` as `cursor`. Unknown fields are refused.' },
    servers: [{ url: apiRoot }],
    paths: byPath,
    components: {
      schemas: { Problem: schemaOf(problem, 'output') },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'an access token, or the sign-in of the command line' },
        cookie: { type: 'apiKey', in: 'cookie', name: cookieName, description: 'the console; writes and event streams only from its own origin' },
      },
    },
  };
}
