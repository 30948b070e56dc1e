// The configuration over the API: read, replaced, confirmed, compared with what it was, and brought back.
import { Fault, isFault } from '#base/fault.ts';
import type { RevisionView } from '#api/shapes.ts';
import { diffConfig, type ConfigDiff } from '#model/config-diff.ts';
import { parseConfig, type ConfigProblem } from '#model/config.ts';
import type { Revision } from '#model/rows.ts';
import { actorOfAsked, mustMay, type Acts, type Asked } from './asked.ts';
import type { Room } from './room.ts';
import { viewActor } from './views.ts';

/** `If-Match: "12"` (RFC 9110 §13.1.1): the revision that a change was made against. */
function matchedRevision(asked: Pick<Asked, 'header' | 'reply'>): number {
  const text = asked.header('if-match');
  if (text === null) {
    asked.reply.faultStatus = 428;
    throw new Fault('bad-input', 'a change of the configuration names the revision that it was made against', { remedy: 'read the configuration, and send its ETag as If-Match' });
  }
  const match = /^"?(\d{1,12})"?$/.exec(text.trim());
  if (!match) throw new Fault('bad-input', 'If-Match is not a revision of the configuration');
  return Number(match[1]);
}

function numberOf(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Fault('not-found', `a revision is a number, not "${text.slice(0, 40)}"`);
  return Number(text);
}

function doesNotCompile(asked: Pick<Asked, 'reply'>, problems: readonly ConfigProblem[]): Fault {
  asked.reply.faultStatus = 422;
  return new Fault('bad-input', `the configuration does not compile: ${problems.length === 1 ? 'one problem' : `${problems.length} problems`}`, { remedy: 'mend each and send it again; nothing was changed', detail: { problems } });
}

/** With what is left out filled in: a field that the version of then did not know is no difference. */
function wholeOf(config: unknown): unknown {
  const parsed = parseConfig(config);
  return 'config' in parsed ? parsed.config : config;
}

function viewDiff({ differences, omitted }: ConfigDiff) {
  const present = (key: 'before' | 'after', value: unknown) => (value === undefined ? {} : { [key]: value });
  return {
    differences: differences.map(({ section, name, kind, fields }) => ({ section, name, kind, fields: fields.map(({ path, before, after }) => ({ path, ...present('before', before), ...present('after', after) })) })),
    omitted,
  };
}

type Names = 'getConfig' | 'putConfig' | 'getConfigState' | 'confirmConfig' | 'rollBackConfig' | 'listRevisions' | 'getRevision' | 'diffRevisions';

export function buildConfigActs(room: Room): Acts<Names> {
  const { control, operations, limits } = room;
  const mayRead = (asked: Pick<Asked, 'rights'>) => mustMay(asked, 'administer', 'gateway', 'read the configuration');
  const mayChange = (asked: Pick<Asked, 'rights'>) => mustMay(asked, 'administer', 'gateway', 'change the configuration');
  const stateOf = ({ number, settled }: Pick<Revision, 'number' | 'settled'>): RevisionView['state'] => {
    if (number === control.config().revision) return control.provisional() ? 'provisional' : 'in-force';
    return settled === 'rolled-back' ? 'rolled-back' : 'past';
  };
  const view = (row: Omit<Revision, 'config'>): RevisionView => {
    const { number, at, actor, summary, restores, confirmBy } = row;
    return { number, at, actor: viewActor(actor), summary, restores, confirmBy, state: stateOf(row) };
  };
  const mustRead = async (text: string): Promise<Revision> => {
    const row = await operations.readRevision(numberOf(text));
    if (!row) throw new Fault('not-found', `there is no revision ${text}, or not any more`, { remedy: `the newest ${limits.revisionsKeptMax} are kept; postern history lists them` });
    return row;
  };
  return {
    getConfig(asked) {
      mayRead(asked);
      const { revision, config } = control.config();
      asked.reply.etag = `"${revision}"`;
      return { revision, config };
    },
    async putConfig(asked) {
      mayChange(asked);
      const against = matchedRevision(asked);
      const dryRun = asked.query.dryRun === 'true';
      const before = control.config().config;
      try {
        const result = await control.change({ actor: actorOfAsked(asked), against, config: asked.body, dryRun, confirmWithinMs: asked.query.confirmWithinMs ?? null });
        if ('problems' in result) throw doesNotCompile(asked, result.problems);
        asked.reply.etag = `"${result.revision}"`;
        const diff = asked.query.diff === 'true' && result.changed ? { diff: viewDiff(diffConfig(before, wholeOf(asked.body), limits.configDifferencesMax)) } : {};
        return { revision: result.revision, dryRun, changed: result.changed, ...(result.confirmBy === null ? {} : { confirmBy: result.confirmBy }), ...diff };
      } catch (thrown) {
        // That another change waits is no wrong revision: reading again and repeating would not help.
        if (isFault(thrown, 'conflict') && thrown.detail['provisional'] !== true) asked.reply.faultStatus = 412;
        throw thrown;
      }
    },
    getConfigState(asked) {
      mayRead(asked);
      const provisional = control.provisional();
      return { now: room.clock.nowMs(), revision: control.config().revision, provisional: provisional && { ...provisional, actor: viewActor(provisional.actor) }, missing: [...control.missing()] };
    },
    async confirmConfig(asked) {
      mayChange(asked);
      return await control.confirm({ actor: actorOfAsked(asked), revision: asked.body.revision });
    },
    async rollBackConfig(asked) {
      mayChange(asked);
      const result = await control.rollBack({ actor: actorOfAsked(asked), ...asked.body });
      if ('problems' in result) throw doesNotCompile(asked, result.problems);
      return { revision: result.revision, changed: result.changed, confirmBy: result.confirmBy, missing: [...control.missing()] };
    },
    async listRevisions(asked) {
      mayRead(asked);
      const { cursor, limit } = asked.query;
      const rows = await operations.listRevisions(limit, cursor === undefined ? undefined : numberOf(cursor));
      const last = rows.at(-1);
      return { items: rows.map(view), next: last && rows.length === limit && last.number > 1 ? String(last.number) : null };
    },
    async getRevision(asked) {
      mayRead(asked);
      const row = await mustRead(asked.params.number);
      return { ...view(row), config: row.config };
    },
    async diffRevisions(asked) {
      mayRead(asked);
      const [from, to] = [await mustRead(asked.params.number), await mustRead(asked.params.other)];
      return { from: from.number, to: to.number, ...viewDiff(diffConfig(wholeOf(from.config), wholeOf(to.config), limits.configDifferencesMax)) };
    },
  };
}
