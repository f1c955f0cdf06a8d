"""The words of a document, by language, and which language a reader gets.

Number and date formats come from CLDR (`document_formats`); here is only what a person has to translate. A language
that is not here falls back to English as a whole, so that words and formats never mix.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

FALLBACK: Final = "en"


@dataclass(frozen=True, slots=True)
class Strings:
    """Every fixed text of an invoice. Braces are filled in by the writer."""

    invoice: str
    number: str
    credits_invoice: str
    cancels_note: str
    replaces_invoice: str
    prepaid: str
    issued_on: str
    due_on: str
    period: str
    account: str
    bill_to: str
    to_company: str
    to_person: str
    erased: str
    description: str
    quantity: str
    unit: str
    unit_price: str
    amount: str
    included: str
    tier: str
    usage: str
    packages: str
    percentage: str
    flat_fee: str
    flat_charge: str
    maximum: str
    minimum: str
    discount: str
    commitments: str
    adjustments: str
    adjusts: str
    rerated: str
    charged: str
    given_back: str
    shortfall: str
    overage: str
    prepayment: str
    draw_down: str
    put_back: str
    interest: str
    committed: str
    spent: str
    subtotal: str
    total: str
    net: str
    taxes: str
    tax: str
    tax_rate: str
    tax_amount: str
    vat: str
    reverse_charge: str
    export: str
    out_of_scope: str
    accounting_tax: str
    amount_due: str
    due_by: str
    by_project: str
    project: str
    account_share: str
    further_projects: str
    payment: str
    pay_please: str
    pay_by_card: str
    pay_by_debit: str
    pay_early: str
    pay_reference: str
    scan: str
    account_holder: str
    iban: str
    bic: str
    bank: str
    reference: str
    page: str
    days_in_zone: str
    logo: str
    tax_id: str
    tax_ids: Mapping[str, str]


_EN = Strings(
    invoice="Invoice",
    number="Invoice number",
    credits_invoice="for invoice {number} of {date}",
    cancels_note="cancels credit note {number} of {date}",
    replaces_invoice="replaces invoice {number} of {date}",
    prepaid="Already paid",
    issued_on="Issue date",
    due_on="Due date",
    period="Billing period",
    account="Billing account",
    bill_to="Bill to",
    to_company="{name}",
    to_person="{name}",
    erased="Customer details erased on request",
    description="Description",
    quantity="Quantity",
    unit="Unit",
    unit_price="Unit price",
    amount="Amount ({currency})",
    included="Included free of charge",
    tier="Tier {tier}",
    usage="Usage",
    packages="Packages",
    percentage="{percent} of {amount}",
    flat_fee="Fee for tier {tier}",
    flat_charge="Flat charge",
    maximum="Reduction to the maximum charge",
    minimum="Increase to the minimum charge",
    discount="Discount",
    commitments="Commitments",
    adjustments="Adjustments of earlier invoices",
    adjusts="Adjustment of invoice {number}",
    rerated="As known now",
    charged="Charged before",
    given_back="Given back by a credit note",
    shortfall="Minimum spend not reached",
    overage="Usage beyond the commitment",
    prepayment="Prepayment",
    draw_down="Paid from prepayment",
    put_back="Prepaid again",
    interest="Interest on late payment",
    committed="Committed",
    spent="Spent or paid before",
    subtotal="Subtotal",
    total="Total",
    net="Net amount",
    taxes="Taxes",
    tax="Tax",
    tax_rate="Rate",
    tax_amount="Tax",
    vat="VAT",
    reverse_charge="Reverse charge: the customer owes the tax",
    export="Export outside the EU",
    out_of_scope="Not subject to tax",
    accounting_tax="Tax in {currency}: {amount} at {rate} ({source}, {date}).",
    amount_due="Amount due",
    due_by="due by {date}",
    by_project="Charges by project",
    project="Project",
    account_share="Not assigned to a project",
    further_projects="{count} further projects",
    payment="Payment",
    pay_please="Please pay {amount} by {date}.",
    pay_by_card="{amount} will be charged to your card on {date}. There is nothing you need to do.",
    pay_by_debit="{amount} will be collected from your bank account on {date}. There is nothing you need to do.",
    pay_early="If you pay by {date}, {percent} is off: {amount} then settles the invoice.",
    pay_reference="Please state the invoice number {number} as the reference.",
    scan="Scan with your banking app",
    account_holder="Account holder",
    iban="IBAN",
    bic="BIC",
    bank="Bank",
    reference="Reference",
    page="Page {page} of {pages}",
    days_in_zone="Days run from midnight to midnight in the time zone {zone}.",
    logo="Logo of {name}",
    tax_id="Tax ID",
    tax_ids=MappingProxyType({"eu_vat": "VAT ID", "gb_vat": "VAT number", "us_ein": "EIN"}),
)

_DE = Strings(
    invoice="Rechnung",
    number="Rechnungsnummer",
    credits_invoice="zur Rechnung {number} vom {date}",
    cancels_note="storniert die Rechnungskorrektur {number} vom {date}",
    replaces_invoice="ersetzt die Rechnung {number} vom {date}",
    prepaid="Bereits bezahlt",
    issued_on="Rechnungsdatum",
    due_on="Fällig am",
    period="Leistungszeitraum",
    account="Abrechnungskonto",
    bill_to="Rechnungsempfänger",
    to_company="{name}",
    to_person="{name}",
    erased="Kundendaten auf Verlangen gelöscht",
    description="Beschreibung",
    quantity="Menge",
    unit="Einheit",
    unit_price="Einzelpreis",
    amount="Betrag ({currency})",
    included="Kostenlos enthalten",
    tier="Staffel {tier}",
    usage="Nutzung",
    packages="Pakete",
    percentage="{percent} von {amount}",
    flat_fee="Gebühr für Staffel {tier}",
    flat_charge="Pauschale",
    maximum="Minderung auf den Höchstbetrag",
    minimum="Aufstockung auf den Mindestbetrag",
    discount="Rabatt",
    commitments="Zusagen",
    adjustments="Berichtigungen früherer Rechnungen",
    adjusts="Berichtigung der Rechnung {number}",
    rerated="Nach heutigem Stand",
    charged="Bereits berechnet",
    given_back="Durch Rechnungskorrektur zurückgegeben",
    shortfall="Mindestumsatz nicht erreicht",
    overage="Nutzung über die Zusage hinaus",
    prepayment="Vorauszahlung",
    draw_down="Aus Vorauszahlung bezahlt",
    put_back="Zurück in die Vorauszahlung",
    interest="Verzugszinsen",
    committed="Zugesagt",
    spent="Bereits verbraucht oder bezahlt",
    subtotal="Zwischensumme",
    total="Gesamtbetrag",
    net="Nettobetrag",
    taxes="Steuern",
    tax="Steuer",
    tax_rate="Satz",
    tax_amount="Steuerbetrag",
    vat="USt.",
    reverse_charge="Steuerschuldnerschaft des Leistungsempfängers",
    export="Ausfuhr in ein Land außerhalb der EU",
    out_of_scope="Nicht steuerbar",
    accounting_tax="Steuer in {currency}: {amount} zum Kurs {rate} ({source}, {date}).",
    amount_due="Zu zahlen",
    due_by="fällig am {date}",
    by_project="Kosten nach Projekt",
    project="Projekt",
    account_share="Keinem Projekt zugeordnet",
    further_projects="{count} weitere Projekte",
    payment="Zahlung",
    pay_please="Bitte zahlen Sie {amount} bis zum {date}.",
    pay_by_card="{amount} buchen wir am {date} von Ihrer Karte ab. Sie brauchen nichts zu tun.",
    pay_by_debit="{amount} ziehen wir am {date} von Ihrem Bankkonto ein. Sie brauchen nichts zu tun.",
    pay_early="Bei Zahlung bis zum {date} gewähren wir {percent} Skonto; dann genügen {amount}.",
    pay_reference="Bitte geben Sie die Rechnungsnummer {number} als Verwendungszweck an.",
    scan="Mit der Banking-App scannen",
    account_holder="Kontoinhaber",
    iban="IBAN",
    bic="BIC",
    bank="Bank",
    reference="Verwendungszweck",
    page="Seite {page} von {pages}",
    days_in_zone="Ein Tag reicht von Mitternacht bis Mitternacht in der Zeitzone {zone}.",
    logo="Logo von {name}",
    tax_id="Steuernummer",
    tax_ids=MappingProxyType({"eu_vat": "USt-IdNr.", "de_stn": "Steuernummer", "gb_vat": "VAT-Nummer"}),
)

_FR = Strings(
    invoice="Facture",
    number="Numéro de facture",
    credits_invoice="sur la facture {number} du {date}",
    cancels_note="annule l’avoir {number} du {date}",
    replaces_invoice="remplace la facture {number} du {date}",
    prepaid="Déjà payé",
    issued_on="Date d’émission",
    due_on="Date d’échéance",
    period="Période de facturation",
    account="Compte de facturation",
    bill_to="Facturé à",
    to_company="{name}",
    to_person="{name}",
    erased="Coordonnées du client effacées à sa demande",
    description="Description",
    quantity="Quantité",
    unit="Unité",
    unit_price="Prix unitaire",
    amount="Montant ({currency})",
    included="Inclus sans frais",
    tier="Tranche {tier}",
    usage="Utilisation",
    packages="Lots",
    percentage="{percent} de {amount}",
    flat_fee="Forfait de la tranche {tier}",
    flat_charge="Forfait",
    maximum="Réduction au montant maximal",
    minimum="Complément au montant minimal",
    discount="Remise",
    commitments="Engagements",
    adjustments="Régularisations de factures antérieures",
    adjusts="Régularisation de la facture {number}",
    rerated="D’après les données actuelles",
    charged="Déjà facturé",
    given_back="Restitué par un avoir",
    shortfall="Minimum de dépense non atteint",
    overage="Utilisation au-delà de l’engagement",
    prepayment="Prépaiement",
    draw_down="Réglé par prépaiement",
    put_back="Reversé au prépaiement",
    interest="Intérêts de retard",
    committed="Engagement",
    spent="Déjà dépensé ou réglé",
    subtotal="Sous-total",
    total="Total",
    net="Montant net",
    taxes="Taxes",
    tax="Taxe",
    tax_rate="Taux",
    tax_amount="Montant de la taxe",
    vat="TVA",
    reverse_charge="Autoliquidation : la taxe est due par le client",
    export="Exportation hors de l’UE",
    out_of_scope="Non soumis à la taxe",
    accounting_tax="Taxe en {currency} : {amount} au cours de {rate} ({source}, {date}).",
    amount_due="Montant à payer",
    due_by="à régler au plus tard le {date}",
    by_project="Frais par projet",
    project="Projet",
    account_share="Sans projet",
    further_projects="{count} autres projets",
    payment="Paiement",
    pay_please="Merci de régler {amount} au plus tard le {date}.",
    pay_by_card="{amount} seront débités de votre carte le {date}. Vous n’avez rien à faire.",
    pay_by_debit="{amount} seront prélevés sur votre compte bancaire le {date}. Vous n’avez rien à faire.",
    pay_early="Pour un paiement jusqu’au {date}, escompte de {percent} : {amount} suffisent alors.",
    pay_reference="Merci d’indiquer le numéro de facture {number} comme référence.",
    scan="À scanner avec l’application bancaire",
    account_holder="Titulaire du compte",
    iban="IBAN",
    bic="BIC",
    bank="Banque",
    reference="Référence",
    page="Page {page} sur {pages}",
    days_in_zone="Les jours vont de minuit à minuit dans le fuseau horaire {zone}.",
    logo="Logo de {name}",
    tax_id="Numéro fiscal",
    tax_ids=MappingProxyType({"eu_vat": "N° TVA", "fr_siret": "SIRET", "gb_vat": "N° TVA"}),
)

_JA = Strings(
    invoice="請求書",
    number="請求書番号",
    credits_invoice="{date}付請求書 {number} に対するもの",
    cancels_note="{date}付クレジットノート {number} の取消",
    replaces_invoice="{date}付請求書 {number} の差替",
    prepaid="お支払い済み",
    issued_on="発行日",
    due_on="お支払期限",
    period="ご利用期間",
    account="請求先アカウント",
    bill_to="ご請求先",
    to_company="{name} 御中",
    to_person="{name} 様",
    erased="お客様情報はご要望により消去されました",
    description="内容",
    quantity="数量",
    unit="単位",
    unit_price="単価",
    amount="金額 ({currency})",
    included="無料利用分",
    tier="段階 {tier}",
    usage="ご利用分",
    packages="パッケージ",
    percentage="{amount} の {percent}",
    flat_fee="段階 {tier} の基本料金",
    flat_charge="定額料金",
    maximum="上限額による減額",
    minimum="最低額までの加算",
    discount="割引",
    commitments="利用コミットメント",
    adjustments="過去の請求書の調整",
    adjusts="請求書 {number} の調整",
    rerated="現時点での金額",
    charged="請求済み",
    given_back="クレジットノートにて返金",
    shortfall="最低利用額の不足分",
    overage="コミットメント超過分",
    prepayment="前払い",
    draw_down="前払いからの充当",
    put_back="前払いへの戻し",
    interest="遅延利息",
    committed="コミットメント額",
    spent="利用済みまたは支払済み",
    subtotal="小計",
    total="合計",
    net="税抜金額",
    taxes="税金",
    tax="税",
    tax_rate="税率",
    tax_amount="税額",
    vat="VAT",
    reverse_charge="リバースチャージ(お客様が納税義務者となります)",
    export="EU域外への輸出",
    out_of_scope="課税対象外",
    accounting_tax="{currency}での税額:{amount}、レート{rate}({source}、{date})。",
    amount_due="ご請求金額",
    due_by="お支払期限 {date}",
    by_project="プロジェクト別内訳",
    project="プロジェクト",
    account_share="プロジェクト未割当",
    further_projects="その他 {count} 件のプロジェクト",
    payment="お支払い方法",
    pay_please="{date}までに {amount} をお支払いください。",
    pay_by_card="{date}に {amount} をご登録のカードに請求いたします。お手続きは不要です。",
    pay_by_debit="{date}に {amount} をご登録の銀行口座から引き落とします。お手続きは不要です。",
    pay_early="{date}までのお支払いは {percent} の割引となり、{amount} で完了します。",
    pay_reference="お振込の際は請求書番号 {number} をご記入ください。",
    scan="銀行アプリで読み取ってください",
    account_holder="口座名義",
    iban="IBAN",
    bic="BIC",
    bank="銀行名",
    reference="振込依頼番号",
    page="{page} / {pages} ページ",
    days_in_zone="1日はタイムゾーン {zone} の0時から24時までです。",
    logo="{name} のロゴ",
    tax_id="税務番号",
    tax_ids=MappingProxyType({"jp_trn": "登録番号", "eu_vat": "VAT番号", "gb_vat": "VAT番号"}),
)

STRINGS: Final[Mapping[str, Strings]] = MappingProxyType({"en": _EN, "de": _DE, "fr": _FR, "ja": _JA})
