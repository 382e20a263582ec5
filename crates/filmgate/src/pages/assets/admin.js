// @ts-check
// What an administrator sees first: the sessions that are stored, and the ways to look through them and to operate.

import { sessionLink } from './ids.js';
import { Listing } from './listing.js';
import { moment } from './times.js';

const sessions = new Listing('admin', {
  path: () => '/api/v1/sessions?limit=20',
  columns: [
    { title: 'admin.session', of: ({ id }) => sessionLink(id) },
    { title: 'admin.user', of: ({ user_id }) => String(user_id) },
    { title: 'admin.photos', of: ({ total_captures }) => total_captures, kind: 'number' },
    { title: 'admin.opened', of: ({ created_at }) => moment(created_at) },
    { title: 'admin.ended', of: ({ ended_at }) => moment(ended_at), none: 'admin.open' },
  ],
});

/** Asks for the first page the first time, and afterwards only writes it again in the language spoken now. */
export function showAdmin() {
  if (sessions.isRead) sessions.render();
  else sessions.begin();
}

/** Somebody else may sit here next. */
export function forgetAdmin() {
  sessions.forget();
}
