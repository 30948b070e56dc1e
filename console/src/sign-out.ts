// Ending the sign-in of this browser.
import { call, isProblem } from './api.ts';
import { queryClient } from './queries.ts';
import { sayProblem } from './ui/toast.tsx';

export async function signOut(): Promise<void> {
  try {
    await call('signOut');
  } catch (thrown) {
    if (!isProblem(thrown, 401)) {
      sayProblem(thrown);
      return;
    }
  }
  queryClient.clear();
  // A whole load, so that nothing of this person stays in memory.
  location.replace('/sign-in');
}
