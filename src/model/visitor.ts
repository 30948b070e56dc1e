// Who asks, as the data plane knows it once it has been found out.
import type { Actor, Person, SignIn, Token } from './rows.ts';

/** A person signed in, or a person's token. */
export interface Visitor {
  readonly person: Person;
  readonly signIn: SignIn | null;
  readonly token: Token | null;
}

export function actorOf(visitor: Visitor, from: string): Actor {
  if (visitor.token) return { kind: 'token', id: visitor.token.id, name: `${visitor.person.login}/${visitor.token.name}`, from };
  return { kind: 'person', id: visitor.person.id, name: visitor.person.login, from };
}
