// Five ways to a certificate, each with its form.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { meQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card, PageHead } from '../ui/bits.tsx';
import { Icon, type IconName } from '../ui/icons.tsx';
import { IssueForm, SignForm } from './certificate-issue.tsx';
import { OrderForm } from './certificate-order.tsx';
import { RequestForm } from './certificate-request.tsx';
import { UploadForm } from './certificate-upload.tsx';
import { NoRight } from './certificates.tsx';

const route = getRouteApi('/inside/certificates/add');
const words = text.certificates.ways;

type Way = 'upload' | 'request' | 'issue' | 'order' | 'sign';
const WAYS: readonly (readonly [way: Way, icon: IconName])[] = [['upload', 'upload'], ['request', 'edit'], ['order', 'refresh'], ['issue', 'shield'], ['sign', 'check']];

export function AddCertificatePage() {
  const { data: me } = useQuery(meQuery);
  const { way = 'upload' } = route.useSearch();
  const navigate = useNavigate();
  const done = (certificate: string) => void navigate({ to: '/certificates/$certificate', params: { certificate } });
  if (me && !me.may.administerGateway) return <NoRight title={words.noRight} />;
  return (
    <>
      <PageHead title={words.title} before={<BackToCertificates />} />
      <div className="grid items-start gap-5 lg:grid-cols-[15rem_minmax(0,1fr)]">
        <nav aria-label={words.label} className="grid gap-1.5 sm:grid-cols-2 lg:grid-cols-1">
          {WAYS.map(([each, icon]) => (
            <Link key={each} to="/certificates/add" search={{ way: each }} replace aria-current={each === way ? 'page' : undefined} className={`flex items-start gap-2.5 rounded-xl border px-3 py-2.5 text-sm ${each === way ? 'border-accent bg-accent-soft' : 'border-line bg-surface hover:bg-sunken'}`}>
              <Icon name={icon} size={17} className={`mt-px ${each === way ? 'text-accent-ink' : 'text-ink-3'}`} />
              <span className="min-w-0">
                <span className={`block font-medium ${each === way ? 'text-accent-ink' : ''}`}>{words[each][0]}</span>
                <span className={`text-ink-2 sm:block ${each === way ? 'block' : 'hidden'}`}>{words[each][1]}</span>
              </span>
            </Link>
          ))}
        </nav>
        <div className="min-w-0 max-w-3xl">
          <Card title={words[way][0]}>
            {way === 'upload' ? <UploadForm replaces={null} onDone={done} /> : null}
            {way === 'request' ? <RequestForm again={null} onDone={done} /> : null}
            {way === 'issue' ? <IssueForm onDone={done} /> : null}
            {way === 'order' ? <OrderForm again={null} onDone={done} /> : null}
            {way === 'sign' ? <SignForm /> : null}
          </Card>
        </div>
      </div>
    </>
  );
}

export function BackToCertificates() {
  return (
    <Link to="/certificates" className="mb-1.5 -ml-1 inline-flex items-center gap-1 rounded-md px-1 text-sm text-ink-2 hover:text-ink">
      <Icon name="left" size={14} />
      {text.certificates.page.back}
    </Link>
  );
}
